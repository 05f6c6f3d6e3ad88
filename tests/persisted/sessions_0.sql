BEGIN TRANSACTION;
CREATE TABLE sessions (number INTEGER PRIMARY KEY, code TEXT UNIQUE, document TEXT NOT NULL);
INSERT INTO "sessions" VALUES(1,'SESSION_1796137304_5625800','{"code": "SESSION_1796137304_5625800", "created_at": 1796137304.9985511, "updated_at": 1796137306.415295, "original": "mesh.glb", "stage": "refine_done", "order": {"scaled_bbox": [2.0000000636662607, 0.5000000712121625, 1.0000000658429637], "pivot_point": [0.0, 0.0, 0.0], "settings": {"topology": "keep", "faces": 0, "level": "medium", "texture_resolution": 1024, "symmetry": "off", "preserve_aspect_ratio": false, "drop_parts_below": 0.0}}, "trial_key": "1796137305549b0037b5a8429397ea", "ordered_at": 1796137305.5408738, "tries": 1, "run": "f035e25e22e8c94e6eeae5a5d70313f4", "result": "f035e25e22e8c94e6eeae5a5d70313f4", "formats": ["glb", "zip", "obj", "fbx", "usdz"], "message": "", "warnings": [], "method": "cleaned", "notes": []}');
COMMIT;
PRAGMA user_version = 0;
