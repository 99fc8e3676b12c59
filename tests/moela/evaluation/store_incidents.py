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


def replace_by_text(path, older):
    path.with_name("other").write_text("another file")
    os.replace(path.with_name("other"), path)


def replace_by_older(path, older):
    os.replace(shutil.copy(older, path.with_name("other")), path)


def overwrite_by_older(path, older):
    shutil.copyfile(older, path)


def empty(path, older):
    os.truncate(path, 0)


def cut(path, older):
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path, older):
    path.write_bytes(np.random.default_rng(1).bytes(path.stat().st_size))


def overwrite_part(path, older):
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(np.random.default_rng(1).bytes(size // 3))


def unlink_log(path, older):
    log_of(path).unlink()


def unlink_index(path, older):
    index_of(path).unlink()


def unlink_both(path, older):
    unlink_log(path, older)
    unlink_index(path, older)


def empty_log(path, older):
    os.truncate(log_of(path), 0)


def cut_log(path, older):
    os.truncate(log_of(path), log_of(path).stat().st_size // 2)


def unlink_folder(path, older):
    shutil.rmtree(path.parent)


def rename_folder(path, older):
    path.parent.rename(path.parent.with_name("elsewhere"))


def forbid_writing(path, older):
    path.chmod(0o444)
