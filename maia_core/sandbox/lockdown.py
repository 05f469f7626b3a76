"""Placeholder until the kernel measures are in."""
import os, resource
def apply(memory_mb):
    pages = int(open("/proc/self/statm").read().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + (memory_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return [["none", "off"]]
def probe():
    return {"open": "refused"}

def missing():
    return ""
