-- Make a job exist. Client and worker may both call it (the message is the acceptance, whoever
-- comes first opens), so a second call changes nothing. ARGV as open_job in common.lua.
return open_job(ARGV)
