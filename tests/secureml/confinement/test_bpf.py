"""Filters run by an interpreter of classic BPF, over every number there is a rule for."""

from __future__ import annotations

import pytest
from bpf_machine import ARCH, answer, data

from secureml.confinement import bpf
from secureml.confinement.bpf import ALLOW, KILL_PROCESS, ArgumentTest, Rule, errno_action

OTHER_ARCH, DEFAULT, FOREIGN = 0x40000003, errno_action(38), KILL_PROCESS


def made(rules):
    return bpf.seccomp_filter(ARCH, rules, default=DEFAULT, foreign=FOREIGN)


def test_each_number_has_the_answer_of_its_rule_and_others_the_default():
    rules = {3: Rule(ALLOW), 4: Rule(ALLOW), 7: Rule(errno_action(1)), 300: Rule(ALLOW)}
    program = made(rules)
    for number in [*range(400), 2**30 - 1]:
        expected = rules[number].action if number in rules else DEFAULT
        assert answer(program, data(number)) == expected, number


def test_runs_of_equal_rules_take_two_instructions():
    assert len(made({number: Rule(ALLOW) for number in range(400)})) == 6 + 2 + 1


@pytest.mark.parametrize("number", [2**30, 2**30 + 1, 2**31, 2**32 - 1])
def test_numbers_of_x32_are_foreign(number):
    assert answer(made({1: Rule(ALLOW)}), data(number)) == FOREIGN


def test_another_processor_family_is_foreign_whatever_the_number():
    program = made({1: Rule(ALLOW)})
    assert answer(program, data(1, arch=OTHER_ARCH)) == FOREIGN


def test_an_argument_is_compared_after_its_mask_and_by_half():
    rule = Rule(ALLOW, (ArgumentTest(2, (0, 8), mask=0xF),), KILL_PROCESS)
    program = made({5: rule})
    for value in range(64):
        expected = ALLOW if value & 0xF in (0, 8) else KILL_PROCESS
        assert answer(program, data(5, 0, 0, value)) == expected
    assert answer(program, data(5, 15, 15, 2**40 + 8)) == ALLOW


def test_the_high_half_is_a_test_of_its_own():
    null = Rule(ALLOW, (ArgumentTest(1, (0,)), ArgumentTest(1, (0,), high=True)), KILL_PROCESS)
    program = made({5: null})
    assert answer(program, data(5, 9, 0)) == ALLOW
    for pointer in (1, 2**32, 2**63, 2**64 - 1):
        assert answer(program, data(5, 0, pointer)) == KILL_PROCESS


def test_several_tests_must_all_hold():
    both = Rule(ALLOW, (ArgumentTest(0, (1, 2, 3)), ArgumentTest(5, (4,))), errno_action(13))
    program = made({9: both, 10: Rule(ALLOW)})
    assert answer(program, data(9, 3, 0, 0, 0, 0, 4)) == ALLOW
    assert answer(program, data(9, 3)) == errno_action(13)
    assert answer(program, data(9, 4, 0, 0, 0, 0, 4)) == errno_action(13)
    assert answer(program, data(10)) == ALLOW


def test_jumps_of_a_long_filter_stay_in_a_byte_and_in_the_program():
    rules = {
        number: Rule(ALLOW, (ArgumentTest(0, tuple(range(20))),), errno_action(number % 100))
        for number in range(140)
    }
    program = made(rules)
    for place, (code, if_true, if_false, _) in enumerate(program):
        assert 0 <= if_true <= 255
        assert 0 <= if_false <= 255
        assert code == bpf.RETURN or place + 1 + max(if_true, if_false) < len(program)


def test_a_filter_that_linux_would_refuse_is_not_made():
    many = {
        number: Rule(ALLOW, (ArgumentTest(0, (number,)),), KILL_PROCESS) for number in range(2000)
    }
    with pytest.raises(ValueError, match="more than 4096"):
        made(many)
