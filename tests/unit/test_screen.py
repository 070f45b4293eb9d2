"""A terminal that hangs or goes away: whoever writes to it is not kept, and does not fail."""

from __future__ import annotations

import os
import time
from threading import Thread

from orchestrator.screen import FAREWELL, MOST, Screen


def piped():
    reading, writing = os.pipe()
    return reading, os.fdopen(writing, "w", encoding="utf-8")


def test_what_is_written_comes_out_in_order():
    reading, stream = piped()
    screen = Screen(stream)
    for word in ("one ", "two ", "three é\n"):
        assert screen.write(word) == len(word)
    screen.drain()
    assert os.read(reading, 100).decode() == "one two three é\n"
    os.close(reading)


def test_nobody_waits_for_one_that_takes_no_more():
    reading, stream = piped()
    screen = Screen(stream)
    begun = time.monotonic()
    for _ in range(30):
        screen.write("x" * (MOST // 10))
        screen.flush()
    assert time.monotonic() - begun < FAREWELL
    screen.drain(patience=FAREWELL / 10)
    assert time.monotonic() - begun < 2 * FAREWELL
    os.close(reading)


def test_a_reader_that_has_stopped_reading_misses_nothing_when_it_goes_on():
    reading, stream = piped()
    screen = Screen(stream, most=None)
    begun = time.monotonic()
    for _ in range(30):
        screen.write("x" * (MOST // 10))
    assert time.monotonic() - begun < FAREWELL
    got = []

    def read():
        while sum(got) < 3 * MOST:
            got.append(len(os.read(reading, 1_000_000)))

    reader = Thread(target=read)
    reader.start()
    screen.drain(patience=60)
    reader.join()
    assert sum(got) == 3 * MOST
    os.close(reading)


def test_one_that_is_gone_takes_everything_in_silence():
    reading, stream = piped()
    os.close(reading)
    screen = Screen(stream)
    begun = time.monotonic()
    for _ in range(100):
        screen.write("word\n")
        screen.drain()
    assert time.monotonic() - begun < FAREWELL
