"""MODELS: every member by name, what it reads, where it is made, where it was described. Nothing is imported until it is made."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quintet.errors import unknown_name


@dataclass(frozen=True)
class MemberEntry:
    """One row of the table.

    Attributes:
        name: what the command line, the documentation and the tests call it.
        input: `"table"` (rows of features) or `"spectrogram"` (arrays of n_mels × frames).
        factory: `"module:function"`; called with `seed` and the settings, it gives an unfitted estimator.
        source: where it was described.
        parameters: trainable parameters of a network with these settings and as many classes as in its source (7, 10, or 50 tags; a
            network of ours: 7); None where that means nothing. published: what the source says of them, None where it says nothing.
        settings: what it is called with unless the caller says otherwise.
    """

    name: str
    input: str
    factory: str
    source: str
    parameters: int | None = None
    published: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


_PICTURE = {"patch_frames": 431, "standard": "global"}  # 10 s at 22,050 Hz and hop 512


def _network(
    name: str, source: str, parameters: int, published: int | None = None, **settings: Any
) -> MemberEntry:
    factory = "quintet.classifiers.spectrogram.classifier:SpectrogramClassifier"
    return MemberEntry(
        name, "spectrogram", factory, source, parameters, published, {"network": name, **settings}
    )


MEMBERS: tuple[MemberEntry, ...] = (
    MemberEntry(
        "logistic_regression",
        "table",
        "quintet.classifiers.tabular.members:LogisticRegressionMember",
        "Bahuleyan 2018, §5.2",
    ),
    MemberEntry(
        "random_forest",
        "table",
        "quintet.classifiers.tabular.members:RandomForestMember",
        "Breiman 2001; Bahuleyan 2018, §5.2",
    ),
    MemberEntry(
        "xgboost",
        "table",
        "quintet.classifiers.tabular.members:XGBoostMember",
        "Chen and Guestrin 2016; Bahuleyan 2018, §5.2",
    ),
    MemberEntry(
        "svm",
        "table",
        "quintet.classifiers.tabular.members:SVMMember",
        "Cortes and Vapnik 1995; Bahuleyan 2018, §5.2",
    ),
    _network(
        "vgg_small",
        "after Simonyan and Zisserman 2015",
        108_151,
        epochs=30,
        patience=15,
        augmentation={"mixup": 0.3},
    ),
    _network(
        "vgg16_transfer",
        "Bahuleyan 2018, §4.1",
        9_441_287,
        9_441_287,
        **_PICTURE,
        epochs=20,
        learning_rate=1e-4,
        max_patches=3,
    ),
    _network(
        "vgg16_fine_tune",
        "Bahuleyan 2018, §4.1",
        24_155_975,
        24_155_975,
        **_PICTURE,
        epochs=10,
        learning_rate=1e-4,
        max_patches=3,
    ),
    _network(
        "feed_forward",
        "Bahuleyan 2018, §4.1",
        71_680_775,
        None,
        **_PICTURE,
        epochs=30,
        learning_rate=1e-5,
        max_patches=3,
    ),
    _network(
        "musicnn", "Pons and Serra 2019", 787_159, 787_000, patch_frames=187, epochs=40, learning_rate=1e-3
    ),
    _network(
        "pons2017",
        "Pons et al. 2017, §3.2",
        5_926_200,
        None,
        patch_frames=646,
        epochs=40,
        learning_rate=1e-3,
        max_patches=4,
    ),
    _network(
        "folmer_cnn",
        "Folmer 2021",
        1_626_538,
        None,
        patch_frames=259,
        standard="global",
        epochs=30,
        learning_rate=1e-3,
    ),
    _network(
        "densenet121",
        "Huang et al. 2017; Folmer 2021",
        6_964_106,
        None,
        patch_frames=259,
        standard="global",
        epochs=30,
        learning_rate=1e-4,
    ),
    _network("crnn", "Lavanya et al. 2021", 108_970, None, epochs=40, learning_rate=2e-3),
    _network(
        "lachmish_mel",
        "Lachmish 2016",
        50_483_675,
        None,
        patch_frames=599,
        epochs=20,
        learning_rate=1e-3,
        max_patches=3,
    ),
    _network(
        "lachmish_mfcc",
        "Lachmish 2016",
        40_448_475,
        None,
        patch_frames=599,
        standard="global",
        epochs=20,
        learning_rate=1e-3,
        max_patches=3,
    ),
)


def member_entry(name: str) -> MemberEntry:
    """The row called `name`.

    Raises:
        ConfigError: no such row; the valid names are listed and the nearest is pointed at.
    """
    for row in MEMBERS:
        if row.name == name:
            return row
    raise unknown_name("member", name, [row.name for row in MEMBERS])


def make_member(name: str, *, seed: int = 0, **settings: Any) -> Any:
    """The unfitted estimator called `name`.

    Parameters:
        name: a name in `MEMBERS`. seed: >= 0, decides everything random in it. settings: parameters of that member; of a network's member
            also those of its `build`, such as `weights="random"`.

    Raises:
        ConfigError: an unknown name, or a setting that the member does not have.

    Example:
        >>> make_member("svm", C=3.0)
        SVMMember(C=3.0)
    """
    row = member_entry(name)
    module, function = row.factory.split(":")
    factory = getattr(importlib.import_module(module), function)
    accepted = [key for key in inspect.signature(factory).parameters if key not in ("seed", "network")]
    strange = [key for key in settings if key not in accepted]
    own = _of_build(name) if strange and row.input == "spectrogram" else []
    for key in strange:
        if key not in own:
            raise unknown_name(
                f"setting of '{name}'", key, [key for key in accepted if key != "settings"] + own
            )
    chosen = {**row.settings, **{key: value for key, value in settings.items() if key in accepted}}
    if strange:
        chosen["settings"] = {**chosen.get("settings", {}), **{key: settings[key] for key in strange}}
    return factory(seed=seed, **chosen)


def require_weights(member: Any) -> None:
    """Refuse, before anything runs, an unfitted network whose pretrained weights cannot be had. Other members need none.

    Raises:
        ArtefactError: a file of weights that is not there, or a download that cannot be reached.
    """
    if member_entry(member.member).input == "spectrogram":
        from quintet.classifiers.networks.registry import require_weights as of_network

        of_network(member.network, member.settings or {})


def _of_build(name: str) -> list[str]:
    """The settings of a network's `build`. Loads keras."""
    from quintet.classifiers.networks.backend import load_keras
    from quintet.classifiers.networks.registry import NETWORKS

    load_keras()  # quietly
    module, function = NETWORKS[name].split(":")
    build = getattr(importlib.import_module(module), function)
    return [
        key
        for key in inspect.signature(build).parameters
        if key not in ("input_shape", "n_outputs", "multilabel")
    ]
