"""The stamp of scores that depend on pretrained networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quintet.files.json_types import JsonObject


@dataclass(frozen=True)
class PretrainedViews:
    """Scores that depend on pretrained networks, which may have been trained on the clips that are scored.

    Args:
        trained_on: family of columns, or member that started from published weights → the music of its
            network's training; empty if that is not known.
        names: members and rules whose scores depend on these networks, and the ensemble prediction.
    """

    trained_on: Mapping[str, str]
    names: tuple[str, ...]

    @property
    def text(self) -> str:
        """The stamp in a sentence."""
        music = "; ".join(f"{family}: {text or 'not known'}" for family, text in self.trained_on.items())
        return (
            "Pretrained networks gave columns or weights of these scores. They were trained on other music "
            f"({music}), which may hold the clips that are scored here. If it does, the scores are too high "
            "for new music."
        )

    @classmethod
    def from_json(cls, content: JsonObject) -> PretrainedViews:
        """What `to_json` wrote."""
        music: JsonObject = content["trained_on"]
        return cls({str(family): str(text) for family, text in music.items()}, tuple(content["names"]))

    def to_json(self) -> JsonObject:
        """`trained_on {family: music}, names [member, rule or verdict], text`."""
        return {"trained_on": dict(self.trained_on), "names": list(self.names), "text": self.text}
