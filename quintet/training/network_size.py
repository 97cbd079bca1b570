"""Memory and spectrograms of the networks of a run, checked before anything is fitted."""

from __future__ import annotations

from quintet.classifiers.registry import make_member, member_entry
from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.ensemble.crossfit import FINAL_FIT, Listener, TrainingEvent
from quintet.training.data import Material
from quintet.training.settings import TrainSettings


def check_network_sizes(
    material: Material, settings: TrainSettings, *, listener: Listener | None = None
) -> None:
    """Refuse networks whose training takes more memory than there is, and announce large ones.

    Networks with published weights of music are refused if the spectrograms are not those of the weights.

    Args:
        material: data of the run, with its spectrograms.
        settings: members and their settings.
        listener: receives one event of the kind `size` for each large network.

    Raises:
        ConfigError: with the number of parameters, the memory, and what makes the network smaller; or with
            the settings of spectrograms that the weights need.
    """
    networks = [name for name in settings.members if member_entry(name).input == "spectrogram"]
    if not networks or material.spectrograms is None:
        return
    from quintet.classifiers.networks.size import NOTABLE_BYTES, network_size, require_memory

    n_clips = len(material.split.train)
    parameters = material.spectrograms.parameters
    for name in networks:
        member = make_member(name, **settings.settings.get(name, {}))
        assert isinstance(member, SpectrogramClassifier)
        member.require_spectrograms(parameters)
        shape = (parameters.n_mels, member.patch_frames)
        size = network_size(member.network, shape, len(material.classes), dict(member.settings or {}))
        require_memory(size, n_clips)
        if listener is not None and size.training_bytes >= NOTABLE_BYTES:
            details = {"text": size.describe(n_clips), "bytes": size.training_bytes}
            listener(TrainingEvent("size", name, FINAL_FIT, 0, details))
