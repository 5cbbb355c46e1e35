"""A program ``aws`` that plays the AWS CLI, for commands that call it."""

import json
from pathlib import Path
from typing import Any


class Cli:
    """A directory with a program ``aws`` that gives prepared answers, and records its arguments.

    An answer is JSON, or the text of an error. Several answers to one call are given in turn, the
    last one for good.
    """

    def __init__(self, directory: Path, plain: tuple[str, ...] = ()) -> None:
        """Write the program.

        Args:
            directory: a directory, which becomes PATH.
            plain: the calls whose text is an answer and no error.
        """
        self._answers = directory / "answers"
        self._answers.mkdir()
        self._calls = directory / "calls"
        self._calls.touch()
        self._plain = plain
        program = directory / "aws"
        program.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >> "{self._calls}"\n'
            f'cd "{self._answers}"\n'
            'if [ $# -eq 1 ]; then key=$1; else key="$1 $2"; fi\n'
            'count=0; [ -f "$key.count" ] && read -r count < "$key.count"\n'
            'while [ $count -gt 0 ] && ! [ -f "$key.$count.out" -o -f "$key.$count.err" ]; do\n'
            "  count=$((count - 1)); done\n"
            'echo $((count + 1)) > "$key.count"\n'
            '[ -f "$key.$count.out" ] && exec /bin/cat -- "$key.$count.out"\n'
            '/bin/cat -- "$key.$count.err" >&2; exit 254\n'
        )
        program.chmod(0o755)

    def answer(self, answers: dict[str, Any]) -> None:
        """Replace all answers, by the first two words of a call."""
        for path in self._answers.iterdir():
            path.unlink()
        self._calls.write_text("")
        for name, each in answers.items():
            for number, answer in enumerate(each if isinstance(each, list) else [each]):
                fine = not isinstance(answer, str) or (name in self._plain and answer)
                text = answer if isinstance(answer, str) else json.dumps(answer)
                path = self._answers / f"{name}.{number}.{'out' if fine else 'err'}"
                path.write_text(text)

    @property
    def calls(self) -> list[str]:
        """The arguments of each call so far, in order."""
        return self._calls.read_text().splitlines()
