"""Tuned constants of the remesh pipeline, each with its reason or measurement."""

from __future__ import annotations

MERGE_FRACTION = 1e-6
"""Vertices closer than this part of the box's diagonal are one."""
FLAT_FRACTION = 1e-6
"""A side shorter than this part of the longest one has no extent that could be stretched."""
RIM = 0.03
"""Of a box's side: only there a refined mesh is drawn to the box that its source fills. With all of it stretched the
TripoSR chair at 5,000 triangles, which sticks out of its source's box by 0.2 to 0.4 %, was 5.2 away instead of 1.8."""

FACES_OF_LEVEL = {"low": 5_000, "medium": 20_000, "high": 60_000}
"""Low and medium are the two sizes that everything here was measured at; high is near what image-to-3D models give."""
MIN_FACES, MAX_FACES = 16, 2_000_000
TEXTURE_RESOLUTION = 1024
MIN_TEXTURE, MAX_TEXTURE = 128, 4096
SMALL_COMPONENT = 1e-3
"""Share of the surface below which a loose part is removed if ``keep_parts`` is false."""
SMALL_COMPONENT_FACES, MIN_COMPONENT_FACES = 24, 4
"""A loose part whose share of the surface is worth fewer faces is reduced by itself, to no fewer than so many."""
SMALL_COMPONENT_GROWTH = 2
"""Up to so many times the faces that it came with: for more, its triangles are cut into quads as they are."""
SMALL_COMPONENTS_SHARE = 0.3
"""Of the faces: what is spent for such parts, at most, where they are not more of the surface anyway."""
SMALL_COMPONENT_MISSES = 20
"""So many parts in a row that take more faces than are left, and no more are tried: the next ones would, too."""
SMALL_COMPONENTS_PER_METHOD = 8000
"""So many, 3 to 4 ms each, take about as long as a method does on the rest: for the percentage."""

# Projection: mean distance in 1e-4 of the diagonal, TripoSR / InstantMesh chair, 5,000 triangles after the collapse:
# 2.4 / 2.0 as it comes, 1.8 / 1.6 with vertices moved, 2.1 / 1.8 with edges flipped, 1.7 / 1.5 with both in turns.
PROJECTION_ROUNDS, PROJECTION_FLIPS = 6, 3
"""With 4 and 2: 1.75 instead of 1.69 on the TripoSR chair."""
SAMPLES_PER_TRIANGLE, SAMPLES_RANGE = 8, (20_000, 160_000)
"""With 3 samples a triangle, at 20,000 triangles, the vertices follow the samples' noise: 0.44 instead of 0.40."""
PROJECTION_STEPS = 40
"""25 are enough where vertices move less freely; 10 are 1.64 / 1.47 there instead of 1.63 / 1.46."""
PROJECTION_ROBUST_SCALE = 3.0
"""Times the median distance: nearer samples count by the square of their distance, further ones by the distance. With
0.5, which is nearer to the mean distance that is judged, 1.52 instead of 1.49: it settles more slowly."""
PROJECTION_WEIGHTS, QUAD_PROJECTION_WEIGHTS = (5e-4, 0.01), (0.02, 0.02)
"""What a distance along the surface counts, and staying in place. The second pair for triangles: 1.64 instead of 1.57
on the TripoSR chair, at 20,000 0.39 instead of 0.38. (5e-4, 2e-3): 1.54 and 0.37, but twice the folds, and the UV
layout of a scan falls apart. For quads it gives 2.8 / 1.6 instead of 3.2 / 2.0, but 7.3 / 6.2 degrees off square
instead of 3.8 / 3.1."""
BOUNDARY_HOLD_WEIGHT = 0.2
"""The second of the pair for what is at an open edge. Open sheets at 1,000 triangles: 6.4; held as the others they
shrink (11, and 0.05 of them are lost), 0.02 gives 6.6, 2 gives 6.6."""
SAME_SIDE_COSINE = 0.2
"""A sample counts where both surfaces look the same way, by this cosine: thin walls are not drawn to their backs. On
the chairs, which have none, it makes no difference."""
FLIP_MIN_GAIN, FLIP_MIN_COSINE, FLIP_MIN_ASPECT = 0.02, 0.3, 0.02
"""The least gain, as a share of the distance, that an edge is flipped for; the least cosine between the faces before
and after; the least area times two over the longest side squared. Without one of them, or with 0.1, 0.7 and 0.1,
distances are 0 to 1.3 % longer: they keep out what is no better, folds, and needles. A second and third pass in each
turn: no nearer, 1 s more."""

REPAIR_ROUNDS = 4
"""A chair needs one; what is thinned may open a hole, and what is filled may crowd an edge."""
OPEN_FACE_WEIGHT = 1e-6
"""What the area of a face with an open edge counts beside that of others at a non-manifold edge."""
HOLE_SHARE = 0.12
"""A hole is closed where a circle of its length has less than this share of its part's surface. A cube without one
side has 0.25 and stays a room; the cut-off feet of the TripoSR chair have 0.01 and less."""

# UV. Seen on both chairs at 5,000 and 20,000 triangles: L2 stretch 1.0003 to 1.02 with 50 charts.
CHARTS = 44
"""Asked for; charts that fold are cut, which makes some more, and at most 60 shall come out."""
CHART_BEND = 0.45
"""How far a chart may be bent: 0.19 is a quarter of a cylinder, 0.6 a half, 0.75 a half of a sphere."""
CHART_STRETCH, CHART_OVERLAP = 0.1, 5e-5
"""Above 1, and of all charts' area: beyond, a chart is cut."""
CHART_CUTS = 6
EXPLODE_LIMIT_FACTOR = 30.0
"""So many times these limits, after all cuts, a chart falls apart into its triangles."""
OVERLAP_PIXELS = 1024
ARAP_ROUNDS, ARAP_STEPS = 30, 12
"""0.3 s at 5,000 triangles; from Blender's angle-based layout alone, areas differ by a factor of 1.3 to 3."""

# Packing.
GAP_TEXELS, MAX_GAP = 2, 0.01
"""On each side of a chart, so that what is spread from two charts does not meet."""
PACK_SHARES, PACK_TRIES = (0.48, 0.76), 4
"""Shares of the square that charts cover: looked for in between, by halves; 0.55 to 0.67 on the chairs."""
SHARE_STEP, MIN_SHARE = 0.8, 0.05
PACK_CHARTS = 300
"""Beyond, the outlines take seconds for each attempt, and the charts are small enough for boxes."""
PACK_CORNER = 1.0
"""How much a place in the corner counts beside touching: with 0.1, charts line the walls and leave the middle empty."""
OUTLINE_PIXELS = 4

# Baking.
SMOOTH_COSINE = 0.7
"""An edge sharper than 45 degrees stays one; the terraces of marching cubes do not."""
TEXELS_AT_A_TIME = 1 << 16
"""About 100 MB during sampling."""
BAKE_RAY_LENGTH = 0.02
"""Of the diagonal: how far along the normal is looked where the nearest place looks the other way."""
BAKE_GROW = 1.0
"""Texels around each triangle that are baked, not spread: bilinear filtering mixes them in."""
DILATE_TEXELS = 4

# Quads.
QUADRIFLOW_TRIES, QUADRIFLOW_TRIES_OF_FEW, QUADRIFLOW_FEW, QUADRIFLOW_TARGET = 2, 6, 10_000, 0.98
"""Seen: 0.93 to 1.065 of what was asked for, at 5,000 and at 20,000 faces. Asked for that share, it gives too many but
rarely; too few is mended by cutting rows. Up to 10,000 faces a try takes 0.1 to 5 s, at 20,000 it takes 15."""
QUADRIFLOW_MISSED = 1.5e-3
"""Of the source's samples, further away than half a quad's side: beyond, it is asked for another number. Good tries
have up to 1.5e-4, of a noisy scan 9e-4; the project's animal asked for 4,900 has an ear cut off, 2.2e-3, and the chair
lacks a rung, 2e-2."""
STRIP_ROUNDS = 20
QUADRIFLOW_EDGE, QUADRIFLOW_DIAGONAL = 1e-3, (100.0, 1e5)
FACES_TOLERANCE = 0.05
"""So far the number of faces may be from what was asked."""
VOXELS = 200
"""Along the longest side: some 200,000 faces, 3 s."""
VOXEL_DEBRIS = 1e-3
"""Of the surface: what the voxel remesh makes of the inside of thin walls."""
QUADS_OF_TRIANGLE = 2.3
"""What a triangle of the collapse becomes on the mean: most are paired, each pair is cut into four."""
PAIR_ANGLE = 40.0
"""Between two triangles that become a quad, and twice that of its corners. Subdivided chairs at 5,000: 2.1 / 1.9 and
16 / 14 degrees off square; with 20 degrees 3.1 / 2.4 and 25 / 21, with 60 as with 40."""
REGULARIZE_ROUNDS, REGULARIZE_STEPS, REGULARIZE_HOLD_WEIGHT = 8, 15, 1e-3
"""With 16, 30 and 0.01 no better, but a third more time, 3.5 s at 20,000; a hold of 0.1: 0.5 to 0.8 degrees more."""
QUAD_PROJECTION_ROUNDS, REGULARIZE_PER_ROUND = 3, 4
"""Distance in 1e-4 of the diagonal and degrees off square, TripoSR / InstantMesh chair; as QuadriFlow leaves them,
5,000 quads have 5.9 / 4.6 and 5.1 / 4.0. So 3.3 / 2.0 and 3.5 / 2.7; 20,000 have 1.0 / 0.63 and 3.8 / 2.3.
Nothing squared in between: 3.4 / 2.2 and 4.2 / 3.1."""

# Progress: a first method takes 35 to 65 of 100 seconds (5,000 triangles, 20,000 quads).
METHOD_SHARE, METHODS_END = 0.8, 60
"""A method gets this share of the remaining progress up to this percentage."""

# Evaluation: a method whose result meets all of these ends the fallback chain.
EVALUATION_SAMPLES = 20_000
"""On the chairs, distances are within 0.3 % of those of 400,000; 0.2 s."""
MAX_LOST_SURFACE = 0.02
"""A share of the source's samples further than FAR_DISTANCE of the diagonal from the result: geometry is lost. On the
TRELLIS bicycle QuadriFlow loses 0.10 and, after voxels, 0.12: its spokes; the subdivided collapse 0.012."""
FAR_DISTANCE = 0.01
MAX_BOX_LOSS = 0.05
"""Of a side of the box: beyond, what was stretched to the box would look another way. RIM's half is the goal."""
MIN_QUADS_SHARE = 0.98
METHOD_LIMIT_S, METHOD_LIMIT_S_PER_FACE = 120.0, 0.01
"""QuadriFlow on 72,000 triangles to 20,000 faces takes 30 to 60 s on two cores; on some open sheets it never ends."""
MEMORY_LIMIT = 6 << 30
"""Bytes, beyond what Blender has at its start: QuadriFlow has been seen to grow past 19 GB."""

SYMMETRY_SAMPLES = 4_000
SYMMETRY_DISTANCE = 0.01
"""Of the diagonal, for 95 of 100 places."""
SYMMETRY_SNAP, SYMMETRY_REACH = 1e-6, 0.01
FINISH_LIMIT_S = 900.0
"""UV layout and baking, at 4,096 pixels and a mesh of 60,000 faces, take 3 minutes."""
