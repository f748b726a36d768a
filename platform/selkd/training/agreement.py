"""What data, and a teacher beside them, must satisfy before a student is made."""

from selkd.data import Dataset
from selkd.errors import UserError
from selkd.models.teachers import Teacher


def square(dataset: Dataset) -> None:
    """What answers for a deployed student scales images to a square."""
    _, height, width = dataset.train.shape
    if height != width:
        raise UserError(
            f"data: the images of {dataset.name} are {height} x {width} (height x width), and students read square "
            "ones. Set data.image_size."
        )


def foreign(teacher: Teacher, dataset: Dataset) -> bool:
    """Whether a teacher answers for other categories than those of the data."""
    return tuple(teacher.card.categories) != dataset.categories


def same_categories(teacher: Teacher, dataset: Dataset) -> None:
    """A teacher answers for these categories, in this order, and reads these images."""
    card = teacher.card
    if foreign(teacher, dataset):
        odd = [c for c in dataset.categories if c not in card.categories]
        shown = f"it does not know {', '.join(odd[:5])}" if odd else "their order differs"
        raise UserError(
            f"teacher: {card.name!r} knows {len(card.categories)} categories of {card.data.name!r}, the data have "
            f"{len(dataset.categories)}: {shown}. Choose a teacher of these data, or objective.name: transport."
        )
    shape = (card.channels, card.image_size, card.image_size)
    if shape != dataset.train.shape:
        raise UserError(f"teacher: {card.name!r} reads images of shape {shape}, the data have {dataset.train.shape}.")
