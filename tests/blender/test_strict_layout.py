"""The stand-in for UILayout refuses what a window would refuse, and lets pass what it would draw."""

from __future__ import annotations

import bpy
import pytest

from tests.support.strict_layout import StrictLayout, draw, operators, texts


def layout() -> StrictLayout:
    return StrictLayout([])


def set_wrong_attribute():
    layout().aligned = True


def set_wrong_operator_property():
    layout().operator("mesh.primitive_cube_add").sizes = 2.0


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: layout().rows(), AttributeError),
        (lambda: layout().row(aligned=True), TypeError),
        (lambda: layout().label(text="x", icon="NO_SUCH_ICON"), TypeError),
        (lambda: layout().label(text=5), TypeError),
        (lambda: layout().label("x"), TypeError),
        (lambda: layout().prop(bpy.context.scene), TypeError),
        (lambda: layout().prop(bpy.context.scene, "no_such_property"), ValueError),
        (lambda: layout().operator("mesh.no_such_operator"), ValueError),
        (lambda: layout().menu("NO_MT_such_menu"), ValueError),
        (set_wrong_attribute, AttributeError),
        (set_wrong_operator_property, AttributeError),
    ],
)
def test_refuses(wrong, error):
    """Each kind of mistake raises here, as it would in a window."""
    with pytest.raises(error):
        wrong()


class Sample:
    bl_idname = "SAMPLE_PT_panel"

    def draw(self, context):
        box = self.layout.box()
        row = box.row(align=True)
        row.alert = True
        row.prop(context.scene.render, "fps", text="Rate", icon="TIME")
        row.operator("mesh.primitive_cube_add", text="Cube", icon="MESH_CUBE").size = 2.0
        header, body = self.layout.panel("sample", default_closed=True)
        header.label(text="More")
        body.progress(factor=0.5, text="Half")


def test_records():
    """What a right panel draws is kept in order, with texts, operators, their values, and where each thing stands."""
    drawn = draw(Sample)
    assert texts(drawn) == ["Rate", "Cube", "More", "Half"]
    assert operators(drawn) == ["mesh.primitive_cube_add"]
    button = next(entry for entry in drawn if entry.operator)
    assert (button.path, button.operator.values) == ("box.row", {"size": 2.0})


@pytest.mark.parametrize("name", ["RENDER_PT_format", "RENDER_PT_frame_range"])
def test_passes_blender_s_own(name):
    """Blender's own panels and menus, which are right, pass."""
    assert draw(getattr(bpy.types, name))
