"""The notebooks and servers of these tests themselves: what everything else here relies on."""


def test_a_cell_runs_on_the_sessions_cluster_and_its_output_is_seen_and_saved(front):
    page = front.open(
        "import nbqueue as nq\n@nq.task\ndef double(x):\n    return 2 * x",
        "print(double.map(range(4)).result())",
    )
    page.run_cell(0)
    page.run_cell(1)
    page.wait_text(1, "[0, 2, 4, 6]")
    saved = page.save()
    assert saved["cells"][1]["outputs"][0]["text"] == ["[0, 2, 4, 6]\n"]
    page.change_theme(light=False)
    page.screenshot("dark")
    page.change_theme(light=True)


def test_a_reload_keeps_the_kernel_and_a_reopening_does_not(lab):
    page = lab.open("x = 1", "print('x' in globals())")
    page.run_cell(0)
    page.save()
    page.reload()
    page.run_cell(1)
    page.wait_text(1, "True")
    page.save()
    page.reopen()
    page.wait_text(1, "True")
    page.run_cell(1)
    page.wait_text(1, "False")
