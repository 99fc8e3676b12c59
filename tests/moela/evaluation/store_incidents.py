"""Ways in which a store is deleted, replaced or damaged while a run writes to it.

Each function takes the path of a store and that of an older copy of it.
"""

import os
import shutil

import numpy as np


def log_of(path):
    return path.with_name(path.name + "-wal")


def index_of(path):
    return path.with_name(path.name + "-shm")


def unlink(path, older):
    path.unlink()


def unlink_all(path, older):
    for file in (path, log_of(path), index_of(path)):
        file.unlink()


def rename(path, older):
    path.rename(path.with_name("renamed.db"))


def replace_by_older(path, older):
    os.replace(shutil.copy(older, path.with_name("other")), path)


def empty(path, older):
    os.truncate(path, 0)


def cut(path, older):
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path, older):
    path.write_bytes(np.random.default_rng(1).bytes(path.stat().st_size))


def unlink_log(path, older):
    log_of(path).unlink()


def cut_log(path, older):
    os.truncate(log_of(path), log_of(path).stat().st_size // 2)


def unlink_folder(path, older):
    shutil.rmtree(path.parent)


def forbid_writing(path, older):
    path.chmod(0o444)
