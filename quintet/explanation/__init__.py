"""Explanations of members, of the ensemble and of one track. This package computes; `quintet.reports` draws.

- `members` explains the members of a run, and `ensemble` the whole ensemble (`assembly` takes it apart).
- `track` explains the prediction for one track; `neighbours` finds the training clips that are near it.
- `importance` gives SHAP values and column importance of one member; `shapley` holds the methods.
- `permutation` measures the loss of AUC without a family or column; `refits` and `stability` compare folds.
- `spectrogram` explains networks: occlusion, Grad-CAM and embeddings.
- `member_value` and `projections` serve the pages: value of each member, and maps of clips.
"""
