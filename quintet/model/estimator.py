"""The public ensemble: the estimator of `quintet.ensemble`, with SHAP values and a folder to be saved in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.ensemble import classifier
from quintet.ensemble.support import as_table
from quintet.errors import ConfigError
from quintet.features.parameters import FeatureParameters
from quintet.model.background import Background
from quintet.model.saving import class_labels, save_ensemble
from quintet.model.shap_values import (
    ENSEMBLE,
    FAMILIES,
    N_BACKGROUND,
    N_ORDERS,
    Parts,
    ensemble_values,
    member_values,
)
from quintet.model_folder.folder import OpenFolder
from quintet.model_folder.load import load_model as load_fitted
from quintet.model_folder.load import read_parameters

if TYPE_CHECKING:
    import shap


class EnsembleClassifier(classifier.EnsembleClassifier):
    """Ensemble of different classifiers (members) whose probabilities are fused and calibrated.

    A scikit-learn estimator. `fit` predicts every row out of fold, learns fusion, calibration and prediction
    sets on these predictions, and fits every member on all rows.

    Args:
        members: names of members, from `quintet.classifiers.registry.MEMBERS` (`quintet list members`).
        rule: fusion rule that `predict_proba` uses: one of `rules`, or "auto".
        rules: fusion rules to fit: `mean`, `geometric`, `weighted`, `greedy`,
            `weighted_geometric`, `stacked`.
        n_splits: number of folds.
        settings: member name → keyword arguments of that member.
        seed: seed of folds and members.
        calibrate_members: whether members are calibrated before they are joined, and useless views left out.
            Default: if a member sees a pretrained view.

    Attributes:
        classes_: class names, sorted, `(K,)`; tag names for label sets.
        members_: member name → estimator fitted on all rows.
        rule_: the rule that `predict_proba` uses.
        oof_: member or rule → out-of-fold probabilities, `(m, K)`.
        oof_verdict_: out-of-fold ensemble predictions, `(m, K)`.
        conformal_: prediction sets (`conformal_.sets`). None for label sets.
        background_: up to 100 training rows, which `shap_values` and `save` use.

    The attributes of `quintet.ensemble.classifier.EnsembleClassifier` complete this list.

    Raises:
        ConfigError: no member is given, a name is unknown, a spectrogram member has no spectrograms, or the
            given folds do not hold out each row once.
        DatasetError: there is only one class, or there is not one group per row.
        SplitLeakError: a group is on both sides of a fold.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat(["jazz", "rock"], 30)
        >>> X = rng.normal(size=(60, 3)) + 3 * (y == "rock")[:, None]
        >>> artists = np.repeat(np.arange(20), 3)
        >>> ensemble = EnsembleClassifier(("logistic_regression", "svm"), n_splits=3)
        >>> ensemble = ensemble.fit(X, y, artists)
        >>> ensemble.predict(X[:1]).tolist(), ensemble.classes_.tolist()
        (['jazz'], ['jazz', 'rock'])
        >>> ensemble.shap_values(X[:5]).shape  # rows, columns, classes
        (5, 3, 2)
    """

    background_: Background | None = None

    def _keep_rows(self, table: pd.DataFrame | None) -> None:
        self.background_ = None if table is None else Background.of_fit(self, table)

    def shap_values(
        self,
        X: pd.DataFrame | ArrayLike,
        *,
        of: str = ENSEMBLE,
        parts: Parts = FAMILIES,
        spectrograms: SpectrogramInput | None = None,
        background: pd.DataFrame | ArrayLike | None = None,
        n_background: int = N_BACKGROUND,
        n_orders: int = N_ORDERS,
    ) -> shap.Explanation:
        """SHAP values, for the plots of the library shap (`shap.plots.beeswarm(values[:, :, 0])`).

        For a member: exact, by column, in the units of its own output (`of="svm"`: decision values; a forest:
        probability; logistic regression and XGBoost: log-odds). For the ensemble: by feature family (the part
        of a column's name before the first dot) or by column, in probability, fused and calibrated. Up to 12
        parts, the values are exact with respect to the background rows, and `error_std` is the standard error
        that the small number of these rows causes. So they are of any number of parts, if forests and
        networks are joined by a weighted mean that is not calibrated. Otherwise the values of more parts are
        estimated from random orders (`error_std`: their standard error); they add up exactly, too.

        Args:
            X: rows to explain, `(n, d)`, with the columns of the fit.
            of: `"ensemble"`, or the name of a member that reads the table.
            parts: for the ensemble, what the probability is shared among: `"families"`, `"columns"`, or name
                → columns.
            spectrograms: spectrograms of the rows, if the ensemble has networks.
            background: training rows `(m, d)` whose values stand for those of absent columns. Default: rows
                of the fit.
            n_background: for the ensemble, the number of background rows that are drawn.
            n_orders: for more than 12 parts, random orders per row: four times as many halve the error.

        Returns:
            `values` (n, parts or columns, K) and `base_values` (n, K): the sum over the second axis, plus the
            base, is the output.

        Raises:
            ConfigError: a name is unknown, the member reads spectrograms, or there are too few orders.
        """
        check_is_fitted(self, "members_")
        table = self._columns_of_fit(X)
        known = self._background()
        if background is not None:
            known = Background(self._columns_of_fit(background), {})
        if known is None or not len(known.rows):
            raise ConfigError(
                "SHAP values need training rows, for the values of absent columns. This model has none: pass "
                "`background=X_train`."
            )
        if of == ENSEMBLE:
            drawn = known.draw(n_background, self.seed)
            return ensemble_values(
                self, table, drawn, parts=parts, spectrograms=spectrograms, n_orders=n_orders
            )
        return member_values(self, of, table, known.rows)

    def _background(self) -> Background | None:
        """Training rows that this ensemble keeps."""
        return self.background_

    def _columns_of_fit(self, X: pd.DataFrame | ArrayLike) -> pd.DataFrame:
        """The rows as a table with the columns of the fit.

        Raises:
            ConfigError: it has another shape, or columns are missing.
        """
        table = as_table(X)
        names = self._column_names()
        if table is None:
            raise ConfigError("SHAP values are of rows of a feature table. Received none: pass X.")
        if names is None:
            return table
        if isinstance(X, pd.DataFrame):
            missing = [name for name in names if name not in table.columns]
            if missing:
                raise ConfigError(
                    f"The rows must have the {len(names)} columns of the fit. {len(missing)} are missing, "
                    f"for example '{missing[0]}'."
                )
            return table[names]
        if table.shape[1] != len(names):
            raise ConfigError(
                f"The rows must have the {len(names)} columns of the fit. Received {table.shape[1]}."
            )
        return table.set_axis(names, axis=1)

    def _column_names(self) -> list[str] | None:
        """Names of the columns of the fit, if rows were kept."""
        return None if self.background_ is None else [str(name) for name in self.background_.rows.columns]

    def save(
        self, folder: str | Path, *, parameters: FeatureParameters | None = None, overwrite: bool = False
    ) -> Path:
        """Write the fitted ensemble as a model folder: no pickle, every file with its digest.

        `quintet.load_model`, `quintet predict --table`, `quintet export` and `quintet serve` read it. It has
        no scores and no report; `quintet train` makes a folder with both.

        Args:
            folder: a new folder, or an empty one.
            parameters: how the features were extracted (`FeatureExtractor(…).feature_parameters`, or
                `FeatureTable.parameters`), so that the model can predict recordings. Default: it predicts
                tables.
            overwrite: replace a model in the folder.

        Returns:
            The folder.

        Raises:
            ArtefactError: the folder holds a model, or other files.
            ConfigError: the ensemble has no table member, or the parameters are those of other columns.
        """
        check_is_fitted(self, "members_")
        if self.background_ is None:
            raise ConfigError(
                "A model folder needs the columns of a feature table. This ensemble was fitted without X: "
                "train it with `quintet train`."
            )
        return save_ensemble(self, folder, self.background_, parameters=parameters, overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> EnsembleClassifier:
        """The fitted ensemble of a model folder. `quintet.load_model` also predicts recordings.

        Args:
            folder: a folder that `save` or `quintet train` made.

        Raises:
            ArtefactError: it is unfinished, damaged, or of another version.
        """
        fitted = load_fitted(folder)
        assert fitted.files_ is not None
        opened = OpenFolder(fitted.bundle_, fitted.files_)
        ensemble = EnsembleClassifier(**read_parameters(opened))
        ensemble.__dict__.update(vars(fitted))
        ensemble.classes_ = class_labels(opened.bundle)
        ensemble.background_ = Background.of_folder(opened)
        return ensemble
