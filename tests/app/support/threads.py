"""Threads that end as nobody expects."""

import ctypes


def end_thread(ident: int) -> None:
    """Ends an idle thread of a pool as soon as it wakes, outside of any job."""
    found = ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(SystemExit))
    assert found == 1
