"""Shapes of the answers, for the OpenAPI description."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FilePrediction(BaseModel):
    """The prediction of one recording. `probability.<class>` has the probability of each class."""

    model_config = ConfigDict(extra="allow")

    file: str = Field(description="Name of the recording.")
    status: str = Field(description="ok, truncated, incomplete or failed.")
    stage: str | None = Field(description="Where it failed.")
    reason: str | None = Field(description="Why it failed, or is cut short.")
    verdict: str | None = Field(
        description="The most probable class; of label sets the tags from 0.5 on, joined by ;"
    )
    confidence: float | None = Field(description="The highest probability.")
    segments: int | None = Field(description="Number of segments that were predicted.")
    duration_s: float | None = Field(description="Seconds that were used.")
    missing_s: float | None = Field(description="Seconds that the file states and does not hold.")
    set: list[str] | None = Field(
        default=None, description="Classes that cannot be excluded, if a confidence was asked for."
    )
    set_size: int | None = Field(default=None, description="Their number.")
    out_of_class: float | None = Field(default=None, description="Near 1 if no known class fits.")
    known_id: str | None = Field(description="The same recording in the data of the training.")
    known_part: str | None = Field(description="Its part of the split.")


class PredictAnswer(BaseModel):
    """What `quintet predict --json` prints for one file."""

    command: str
    output: str | None
    classes: list[str]
    n: int
    n_failed: int
    files: list[FilePrediction]
    notes: list[str] = Field(description="Limits of the prediction, one sentence each.")


class Fault(BaseModel):
    """Why there is no answer."""

    detail: str


class UnusableRecording(Fault):
    """A recording without a prediction: the reason, and what `quintet predict --json` prints for it."""

    model_config = ConfigDict(extra="allow")


class Health(BaseModel):
    """State of the service."""

    status: str = Field(description="ok.")
    quintet: str = Field(description="Version of quintet.")
    model: str = Field(description="Name of the model folder.")
    classes: list[str]
    members: list[str]
    frozen: bool = Field(description="Whether the frozen ensemble answers.")
    under_way: int = Field(description="Requests that are under way.")
    queue: int = Field(description="Requests that may be under way.")
