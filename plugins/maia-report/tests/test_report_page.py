from maia_report import write_report


def test_it(whole_run):
    import shutil

    p = write_report(whole_run)
    shutil.copy(p, "/tmp/r1.html")
    print(p.stat().st_size)
