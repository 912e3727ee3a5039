"""Values to bytes and back: arguments, results, blobs, references, and their digests."""
