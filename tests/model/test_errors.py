import inspect
import re

from model import errors


def drawn() -> dict[str, str]:
    """Class -> parent, as the module's docstring draws them."""
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
    """Class -> parent, as Python has them."""
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert all(len(one.__bases__) == 1 for one in classes)
    return {one.__name__: one.__bases__[0].__name__ for one in classes}


def test_the_drawn_tree_is_the_tree() -> None:
    assert drawn() == defined()


def test_every_error_is_one_of_ours() -> None:
    for name in defined():
        assert issubclass(getattr(errors, name), errors.FacepairError)


def test_every_error_says_what_it_means() -> None:
    for name in defined():
        assert vars(errors)[name].__doc__, name
