"""The student as a model of MLflow: code, weights and signature, and nothing that has to be unpickled."""

import importlib.metadata
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from selkd.models.card import CARD, read_card
from selkd.tracking.student import REMEDY, StudentCard, columns

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import Model, ModelSignature

NAME = "student"
PACKAGES = ("selkd", "mlflow", "torch", "safetensors", "pydantic", "numpy", "pandas")
UNFIT_WARNINGS = ("Any type hint is inferred as AnyType", "An input example was not provided")
"""MLflow warns of its own types when it is imported, and asks for an example that a signature makes needless."""


def log_student(client: "MlflowClient", experiment: str, run_id: str, folder: Path, step: int) -> str:
    """Make the student in `folder` a logged model of a run, once: `runs:/RUN/student` loads it."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    model = logged_student(client, experiment, run_id)
    if model is None:
        model = client.create_logged_model(experiment, name=NAME, source_run_id=run_id, model_type="classifier")
    if model.status == "READY":
        return model.model_id
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:  # a process may end while this thread writes
        save_pyfunc(Path(place) / NAME, folder, Model(artifact_path=NAME, run_id=run_id, model_id=model.model_id))
        client.log_model_artifacts(model.model_id, str(Path(place) / NAME))
    outputs = client.get_run(run_id).outputs
    if outputs is None or model.model_id not in [output.model_id for output in outputs.model_outputs]:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
    client.finalize_logged_model(model.model_id, "READY")
    return model.model_id


def save_pyfunc(path: Path, student: Path, model: "Model | None" = None) -> None:
    """Write the student in folder `student` as a model folder that `mlflow.pyfunc.load_model` reads."""
    for message in UNFIT_WARNINGS:
        warnings.filterwarnings("ignore", f".*{message}", UserWarning)
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(
        path,
        python_model=str(Path(__file__).with_name("served.py")),
        artifacts={"student": str(student)},
        signature=signature(read_card(StudentCard, student / CARD, REMEDY)),
        pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES],
        mlflow_model=model,
    )


def signature(card: StudentCard) -> "ModelSignature":
    """Images as a tensor, answers as named columns."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    side = card.image_size
    images = TensorSpec(np.dtype("float32"), (-1, card.channels, side, side))
    return ModelSignature(Schema([images]), Schema([ColSpec(kind, name) for name, kind in columns(card).items()]))


def logged_student(client: "MlflowClient", experiment: str, run_id: str) -> "LoggedModel | None":
    """The logged model of a run that is its student."""
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}' AND name = '{NAME}'")
    return found[0] if found else None
