"""``nbqueue --help`` and that of each command: complete, and a line a thing."""

import pytest

from nbqueue import cli

PARSER = cli.make_parser()
COMMANDS = PARSER.commands.choices


def test_every_command_stands_in_one_group():
    grouped = [name for names in cli.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(COMMANDS)


def test_each_has_a_line_of_its_own():
    lines = PARSER.format_help().splitlines()
    for name, parser in COMMANDS.items():
        assert f"  {name:<8}  {parser.get_default('about')}" in lines
    assert max(map(len, lines)) <= 100
    assert lines.index("examples:") > lines.index("options:")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_tells_of_all_it_takes(name):
    parser = COMMANDS[name]
    assert parser.format_help().startswith(f"usage: nbqueue {name}")
    silent = [action.dest for action in parser._actions if not action.help]
    assert [dest for dest in silent if dest != "==SUPPRESS=="] == []
