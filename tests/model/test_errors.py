import inspect
import re

from model import errors


def documented() -> dict[str, str]:
    """Class -> parent, as in the tree of the module's docstring."""
    lines = inspect.getdoc(errors)
    assert lines
    ancestors = ["FacepairError"]
    tree = {"FacepairError": "Exception"}
    for branch, name in re.findall(r"^((?:│   |    )*)[├└]── (\w+)", lines, re.MULTILINE):
        depth = len(branch) // 4
        tree[name] = ancestors[depth]
        ancestors[depth + 1 :] = [name]
    return tree


def defined() -> dict[str, str]:
    """Class -> parent, as defined."""
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert all(len(one.__bases__) == 1 for one in classes)
    return {one.__name__: one.__bases__[0].__name__ for one in classes}


def test_docstring_shows_the_class_tree() -> None:
    assert documented() == defined()


def test_every_error_is_a_facepair_error() -> None:
    for name in defined():
        assert issubclass(getattr(errors, name), errors.FacepairError)


def test_every_error_has_a_docstring() -> None:
    for name in defined():
        assert vars(errors)[name].__doc__, name
