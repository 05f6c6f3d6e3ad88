"""What a refine takes from objects is said before anything is sent: in the panel, in the dialog, to scripts."""

from __future__ import annotations

import bpy
import pytest

from csm_refine_addon.blender import preferences
from csm_refine_addon.blender.geometry import selection_bounds
from csm_refine_addon.blender.geometry.object_losses import losses_of
from csm_refine_addon.blender.jobs import batch_submit, submit
from csm_refine_addon.blender.ui.operators import batch_operators
from csm_refine_addon.blender.ui.panels.session_panel import CSM_PT_send
from tests.support import panel, scenes
from tests.support.panel import CODE
from tests.support.strict_layout import StrictLayout, draw, texts

ARMATURE, SHAPE_KEYS, ANIMATION = (
    f"The result will have no {what}: a refine makes one still mesh."
    for what in ("armature", "shape keys", "animation")
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        preferences.choose_service("LOCAL")
        yield tmp_path / "home"


def plain(name: str = "Wedge"):
    made = scenes.mesh_object(name)
    scenes.select(made)
    return made


def armed():
    made = plain()
    made.modifiers.new("Armature", "ARMATURE")
    return made


def parented():
    made, bones = plain(), scenes.link(bpy.data.objects.new("Bones", bpy.data.armatures.new("Bones")))
    made.parent, made.parent_type = bones, "ARMATURE"
    return made


def keyed():
    made = plain()
    made.shape_key_add(name="Basis")
    made.shape_key_add(name="Smile")
    return made


def basis_only():
    made = plain()
    made.shape_key_add(name="Basis")
    return made


def animated():
    made = plain()
    made.keyframe_insert("location", frame=1)
    return made


def with_animated_keys():
    made = keyed()
    made.data.shape_keys.key_blocks["Smile"].keyframe_insert("value", frame=1)
    return made


def with_armed_child():
    made, child = plain(), scenes.mesh_object("Child")
    child.parent = made
    child.modifiers.new("Armature", "ARMATURE")
    return made


def with_hidden_child():
    made = with_armed_child()
    bpy.data.objects["Child"].hide_set(True)
    return made


def without_data():
    return scenes.link(bpy.data.objects.new("Empty", None))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (plain, ()),
        (basis_only, ()),
        (without_data, ()),
        (with_hidden_child, ()),
        (armed, (ARMATURE,)),
        (parented, (ARMATURE,)),
        (with_armed_child, (ARMATURE,)),
        (keyed, (SHAPE_KEYS,)),
        (animated, (ANIMATION,)),
        (with_animated_keys, (SHAPE_KEYS, ANIMATION)),
    ],
)
def test_what_an_object_loses_is_known_from_its_attributes(make, said):
    """Armature, shape keys and animation of what will be sent are named, each once; nothing else is."""
    made = make()
    bpy.context.view_layer.update()
    assert losses_of([made]) == said


def shown() -> str:
    """The panel's sentences above the button, measured as the timer does."""
    selection_bounds.mark_stale()
    selection_bounds.update(bpy.context, selection_bounds.AT_ONCE, 0.0, float("inf"))
    return " ".join(texts(draw(CSM_PT_send)))


def test_the_panel_says_it_above_the_button():
    """Before the press, for the local service alone: only it makes a session of the selection."""
    armed().shape_key_add(name="Basis")
    keyed()  # another one, and the one selected
    assert SHAPE_KEYS in shown()
    assert ARMATURE not in shown()
    preferences.choose_service("CSM")
    assert SHAPE_KEYS not in shown()


def test_a_mirrored_object_needs_no_warning():
    """The result is mirrored as its source is, whichever service makes it."""
    plain().scale = (-1.0, 1.0, 1.0)
    bpy.context.view_layer.update()
    assert "Wedge" in shown()
    assert "mirrored" not in shown()
    assert submit.session_order(bpy.context).asked.warnings == ()
    panel.settings().session_code = CODE
    assert "mirrored" not in shown()
    preferences.choose_service("CSM")
    assert "mirrored" not in shown()


def test_the_dialog_of_many_says_it_once():
    """Refine Each says what some of them lose, each sentence once, and still refines them."""
    objects = [armed(), with_animated_keys()]
    scenes.select(*objects)
    plan = batch_submit.plan(bpy.context)
    assert len(plan.orders) == 2
    recorded = []
    batch_operators.draw_plan(StrictLayout(recorded), plan)
    said = " ".join(texts(recorded))
    assert [said.count(sentence) for sentence in (ARMATURE, SHAPE_KEYS, ANIMATION)] == [1, 1, 1]


def test_a_script_is_warned(capfd):
    """Without a panel the operator reports it, and the job is written down."""
    armed()
    assert bpy.ops.csm_refine.create_session() == {"FINISHED"}
    assert ARMATURE in capfd.readouterr().out
