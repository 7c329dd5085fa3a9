#!/usr/bin/env python3
"""Opens the folders of the hostPath provisioner to every user.

They are made 0750 and owned by root, and hostPath volumes ignore fsGroup, so
a pod that does not run as root could not write to its volume. Only folders
as the provisioner makes them are changed: what a pod sets itself stays.
"""

import os
import stat
import time

ROOT = "/tmp/hostpath_pv"


def open_new_folders():
    try:
        entries = list(os.scandir(ROOT))
    except FileNotFoundError:
        return
    for entry in entries:
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode) and info.st_uid == 0 and stat.S_IMODE(info.st_mode) == 0o750:
            os.chmod(entry.path, 0o777)


if __name__ == "__main__":
    while True:
        try:
            open_new_folders()
        except OSError as error:  # a folder that was removed meanwhile
            print(error, flush=True)
        time.sleep(0.1)
