"""Saving and loading a fitted classifier."""

import numpy as np
from safetensors.torch import load_file


def reload(clf, folder, shapes, texts):
    """Save a classifier and load it on the same model.

    Asserts the shapes of the saved tensors, and that not a bit of the probabilities changes.
    """
    clf.save(folder)
    (path,) = folder.glob("*.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in load_file(path).items()} == shapes
    loaded = type(clf).load(folder, clf.backbone_)
    np.testing.assert_array_equal(loaded.predict_proba(texts), clf.predict_proba(texts))
    return loaded
