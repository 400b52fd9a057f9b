"""What a known bug consists of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """A change of a file, and the test that has to fail with it.

    `right` stands exactly once in the file, and is replaced by `wrong`; `more` are further replacements in the same file.
    """

    sign: str
    title: str
    file: str
    right: str
    wrong: str
    test: str
    more: tuple[tuple[str, str], ...] = ()

    def planted(self, source: str) -> str:
        """Give the source with the bug in it. Raises ValueError if a text to be replaced isn't there exactly once."""
        for right, wrong in ((self.right, self.wrong), *self.more):
            if source.count(right) != 1:
                raise ValueError(
                    f"{self.file} has changed: the right text of bug {self.sign} stands there {source.count(right)} times"
                )
            source = source.replace(right, wrong)
        return source
