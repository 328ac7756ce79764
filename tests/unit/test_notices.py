"""Warnings reach Python's warnings, or the list of the thread that collects them."""

import threading
import warnings

import pytest

from gid_core.notices import collect_warnings, warn


def library_function():
    warn("nothing moves")


def test_without_a_list_it_is_a_warning_at_the_caller():
    with pytest.warns(UserWarning, match="nothing moves") as caught:
        library_function()
    assert caught[0].filename == __file__


def test_every_thread_collects_its_own():
    collected, inside, done = {}, threading.Barrier(2), threading.Barrier(2)

    def node(name):
        with collect_warnings() as messages:
            inside.wait(10)  # both collect at the same time
            warn(name)
            done.wait(10)
        collected[name] = messages

    filters = list(warnings.filters)
    threads = [threading.Thread(target=node, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collected == {"a": ["a"], "b": ["b"]}
    assert warnings.filters == filters
    with pytest.warns(UserWarning, match="again"):
        warn("again")
