from __future__ import annotations

from secureml.scoring.progress import Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def progress(total, before, *, terminal):
    clock, said = Clock(), []
    found = Progress(total, before, clock, lambda *words: said.append(words), terminal=terminal)
    return found, clock, said


def test_lines_are_written_now_and_then_where_no_terminal_is():
    found, clock, said = progress(1000, 0, terminal=False)
    for _ in range(4):
        clock.now += 4
        found.add(100)
    found.end()

    assert said == [
        ("300 of 1000 rows (30 %), 25 rows/s, 0:00:28 left", True),
        ("400 of 1000 rows (40 %), 25 rows/s, 0:00:24 left", True),
    ]


def test_a_terminals_line_is_written_over_until_the_end():
    found, clock, said = progress(100, 0, terminal=True)
    clock.now = 1
    found.add(50)
    found.end()

    assert [(text[0], text[-3:], ends) for text, ends in said] == [
        ("\r", "\x1b[K", False), ("\r", "\x1b[K", True),
    ]  # fmt: skip


def test_rows_of_an_earlier_run_count_for_the_share_and_not_for_the_speed():
    found, clock, said = progress(1000, 500, terminal=False)
    clock.now = 10
    found.add(100)

    assert said == [("600 of 1000 rows (60 %), 10 rows/s, 0:00:40 left", True)]


def test_hours_are_told_as_such():
    found, clock, said = progress(100_000, 0, terminal=False)
    clock.now = 100
    found.add(1000)

    assert said[0][0].endswith("10 rows/s, 2:45:00 left")
