"""Registry of members: name, input, factory, source and settings of each.

The code of a member is imported when the member is made.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from quintet.classifiers.setting_ranges import require_plausible
from quintet.classifiers.views import HANDMADE, SPECTROGRAM, split_name
from quintet.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from quintet.classifiers.member import Member
    from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier

Settings = Mapping[str, object]
N_ROWS, N_COLUMNS = 24, 3  # of the random table on which a member is tried


@dataclass(frozen=True)
class MemberEntry:
    """One row of the registry.

    Args:
        name: the name on the command line, in the documentation and in the tests.
        input: `"table"` (rows of features) or `"spectrogram"` (arrays of n_mels × frames).
        factory: `"module:function"`; called with `seed` and the settings, it returns an unfitted estimator.
        source: the publication that describes the classifier.
        parameters: trainable parameters of a network with these settings and the number of classes of its
            source (7, 10, or 50 tags; 7 for our own network). None for table members.
        published: the number of parameters that the source states; None if it states none.
        settings: arguments of the factory, unless the caller gives other values.
    """

    name: str
    input: str
    factory: str
    source: str
    parameters: int | None = None
    published: int | None = None
    settings: Settings = field(default_factory=dict)


def _table(name: str, class_name: str, source: str) -> MemberEntry:
    return MemberEntry(name, "table", f"quintet.classifiers.tabular.members:{class_name}", source)


def _network(
    name: str, *, source: str, parameters: int, published: int | None = None, settings: Settings
) -> MemberEntry:
    factory = "quintet.classifiers.spectrogram.classifier:SpectrogramClassifier"
    all_settings = {"network": name, **settings}
    return MemberEntry(name, "spectrogram", factory, source, parameters, published, all_settings)


_PICTURE = {"patch_frames": 431, "standard": "global"}  # 10 s at 22,050 Hz and hop 512

MEMBERS: tuple[MemberEntry, ...] = (
    _table("logistic_regression", "LogisticRegressionMember", "Bahuleyan 2018, §5.2"),
    _table("random_forest", "RandomForestMember", "Breiman 2001; Bahuleyan 2018, §5.2"),
    _table("xgboost", "XGBoostMember", "Chen and Guestrin 2016; Bahuleyan 2018, §5.2"),
    _table("svm", "SVMMember", "Cortes and Vapnik 1995; Bahuleyan 2018, §5.2"),
    _network(
        "vgg_small",
        source="after Simonyan and Zisserman 2015",
        parameters=108_151,
        settings={"epochs": 20, "validation_share": 0.0, "augmentation": {"mixup": 0.3}},
    ),
    _network(
        "vgg16_transfer",
        source="Bahuleyan 2018, §4.1",
        parameters=9_441_287,
        published=9_441_287,
        settings={**_PICTURE, "epochs": 20, "learning_rate": 1e-4, "max_patches": 3},
    ),
    _network(
        "vgg16_fine_tune",
        source="Bahuleyan 2018, §4.1",
        parameters=24_155_975,
        published=24_155_975,
        settings={**_PICTURE, "epochs": 10, "learning_rate": 1e-4, "max_patches": 3},
    ),
    _network(
        "feed_forward",
        source="Bahuleyan 2018, §4.1",
        parameters=71_680_775,
        settings={**_PICTURE, "epochs": 30, "learning_rate": 1e-5, "max_patches": 3},
    ),
    _network(
        "musicnn",
        source="Pons and Serra 2019",
        parameters=787_159,
        published=787_000,
        settings={"patch_frames": 187, "epochs": 40, "learning_rate": 1e-3},
    ),
    _network(
        "musicnn_vgg",
        source="Pons and Serra 2019",
        parameters=605_748,
        published=605_000,
        settings={"patch_frames": 187, "epochs": 40, "learning_rate": 1e-3, "base_rate": 0.1},
    ),
    _network(
        "musicnn_vgg_transfer",
        source="Pons and Serra 2019",
        parameters=12_850,
        settings={
            "patch_frames": 187,
            "epochs": 40,
            "learning_rate": 1e-3,
            "patches_per_clip": 10,
            "max_patches": 10,
        },
    ),
    _network(
        "pons2017",
        source="Pons et al. 2017, §3.2",
        parameters=5_926_200,
        settings={"patch_frames": 646, "epochs": 40, "learning_rate": 1e-3, "max_patches": 4},
    ),
    _network(
        "folmer_cnn",
        source="Folmer 2021",
        parameters=1_626_538,
        settings={"patch_frames": 259, "standard": "global", "epochs": 30, "learning_rate": 1e-3},
    ),
    _network(
        "densenet121",
        source="Huang et al. 2017; Folmer 2021",
        parameters=6_964_106,
        settings={"patch_frames": 259, "standard": "global", "epochs": 30, "learning_rate": 1e-4},
    ),
    _network(
        "crnn",
        source="Lavanya et al. 2021",
        parameters=108_970,
        settings={"epochs": 40, "learning_rate": 2e-3},
    ),
    _network(
        "lachmish_mel",
        source="Lachmish 2016",
        parameters=50_483_675,
        settings={"patch_frames": 599, "epochs": 20, "learning_rate": 1e-3, "max_patches": 3},
    ),
    _network(
        "lachmish_mfcc",
        source="Lachmish 2016",
        parameters=40_448_475,
        settings={
            "patch_frames": 599,
            "standard": "global",
            "epochs": 20,
            "learning_rate": 1e-3,
            "max_patches": 3,
        },
    ),
)

TABLE_MEMBERS: tuple[str, ...] = tuple(entry.name for entry in MEMBERS if entry.input == "table")
"""Names of the members that read feature tables."""

DEFAULT_MEMBERS = (*TABLE_MEMBERS, "vgg_small")
"""Names of the five members that are trained unless the user names others."""


def member_entry(name: str) -> MemberEntry:
    """Row of the registry for a name, which may have a view (`svm@tags_msd`).

    Raises:
        ConfigError: if no member has this name; the message lists the valid names and the nearest one. Or a
            network has a view.
    """
    kind, view = split_name(name)
    for entry in MEMBERS:
        if entry.name == kind:
            if view is not None and entry.input != "table":
                raise ConfigError(
                    f"A view must belong to a member that reads tables ({', '.join(TABLE_MEMBERS)}). "
                    f"Received '{name}': a network sees the spectrogram."
                )
            return entry
    raise unknown_name("member", kind, [entry.name for entry in MEMBERS])


def reads_table(name: str) -> bool:
    """Whether a name is that of a member that reads feature tables; False for an unknown name.

    Example:
        >>> reads_table("svm@tags_msd"), reads_table("vgg_small")
        (True, False)
    """
    return name.partition("@")[0] in TABLE_MEMBERS


def member_view(name: str) -> str:
    """The view of a member: what it sees. An unknown name without a view counts as a hand-made one.

    Example:
        >>> member_view("svm@tags_msd"), member_view("svm"), member_view("vgg_small")
        ('tags_msd', 'handmade', 'spectrogram')
    """
    kind, _, view = name.partition("@")
    if view:
        return view
    is_network = any(entry.name == kind and entry.input == "spectrogram" for entry in MEMBERS)
    return SPECTROGRAM if is_network else HANDMADE


def make_member(name: str, *, seed: int = 0, **settings: object) -> Member:
    """Make an unfitted member.

    Args:
        name: key of the registry, see `MEMBERS`; a table member may have a view (`svm@tags_msd`).
        seed: at least 0; controls all randomness of the member.
        **settings: constructor arguments of the member class. For a network, arguments of its `build`
            function are accepted too, e.g. `weights="random"`.

    Raises:
        ConfigError: for an unknown name, a setting that the member does not have, or a number beyond its
            range.

    Example:
        >>> make_member("svm", C=3.0)
        SVMMember(C=3.0)
    """
    entry = member_entry(name)
    factory = _load_factory(entry)
    taken = ("seed", "network", "view")  # decided by the name and the run
    parameters = inspect.signature(factory).parameters
    accepted = [key for key in parameters if key not in taken]
    own_settings = {key: value for key, value in settings.items() if key in accepted}
    build_settings = {key: value for key, value in settings.items() if key not in accepted}
    require_plausible(name, own_settings, parameters)
    arguments = {**_usual_settings(entry, own_settings), **own_settings}
    if build_settings:
        _require_build_settings(entry, build_settings, accepted)
        arguments["settings"] = _merge(arguments.get("settings"), build_settings)
    _, view = split_name(name)
    if view is not None:
        arguments["view"] = view
    return factory(seed=seed, **arguments)


def require_weights(member: Member) -> None:
    """Refuse an unfitted network whose pretrained weights cannot be obtained, before any work starts.

    Members without pretrained weights pass.

    Raises:
        ConfigError: if the library lacks the weights, or they do not fit the settings.
        ArtefactError: if the file of weights does not exist, or the download cannot be reached.
    """
    if member_entry(member.member).input == "spectrogram":
        from quintet.classifiers.networks.registry import require_network_weights

        parameters = member.get_params()
        require_network_weights(parameters["network"], parameters["settings"] or {})


def check_member(name: str, settings: Settings, *, seed: int = 0) -> Member:
    """Make an unfitted member that can be trained: its settings are valid, its weights are there.

    Args:
        name: key of the registry.
        settings: settings that differ from the defaults.
        seed: of the member.

    Raises:
        ConfigError: as `make_member` and `require_fit`, and for names in the settings of a network.
        ArtefactError: as `require_weights`.
    """
    member = make_member(name, seed=seed, **settings)
    require_weights(member)
    if member_entry(name).input == "spectrogram":
        cast("SpectrogramClassifier", member).check_parameters()
    elif settings:
        require_fit(member, settings)
    return member


def require_fit(member: Member, chosen: Settings) -> None:
    """Refuse a table member that cannot be fitted with its settings: it is fitted on 24 random rows.

    Args:
        member: unfitted.
        chosen: the settings that differ from the defaults, for the message.

    Raises:
        ConfigError: with the settings and the reason.
    """
    import numpy as np

    columns = np.random.default_rng(0).normal(size=(N_ROWS, N_COLUMNS))
    labels = np.repeat(["a", "b"], N_ROWS // 2)
    try:
        make_member(member.member, seed=0, **dict(chosen)).fit(columns, labels, groups=np.arange(N_ROWS))
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        values = ", ".join(f"{name} = {value!r}" for name, value in chosen.items())
        raise ConfigError(f"'{member.member}' cannot be fitted with {values}: {reason}") from error


def _usual_settings(entry: MemberEntry, chosen: Settings) -> Settings:
    """Settings of the registry, without `validation_share` if the chosen ones need clips that are held out.

    Patience and pooling by `knn` do. So they also work for a network that holds out no clips otherwise.
    """
    if "patience" not in chosen and chosen.get("pooling") != "knn":
        return entry.settings
    return {name: value for name, value in entry.settings.items() if name != "validation_share"}


def _load_factory(entry: MemberEntry) -> Callable[..., Member]:
    module, function = entry.factory.split(":")
    factory: Callable[..., Member] = getattr(importlib.import_module(module), function)
    return factory


def _require_build_settings(entry: MemberEntry, settings: Settings, accepted: Sequence[str]) -> None:
    """Refuse settings neither of the member's class nor of its network's `build`, and absurd numbers."""
    defaults: dict[str, object] = {}
    if entry.input == "spectrogram":
        from quintet.classifiers.networks.registry import build_defaults

        defaults = build_defaults(entry.name)
    for name in settings:
        if name not in defaults:
            direct = [key for key in accepted if key != "settings"]
            raise unknown_name(f"setting of '{entry.name}'", name, [*direct, *defaults])
    require_plausible(entry.name, settings, defaults)


def _merge(first: object, second: Settings) -> Settings:
    return {**(first if isinstance(first, Mapping) else {}), **second}
