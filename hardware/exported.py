"""The files of an exported model, by which who writes it and who reads it find each other."""

ONNX = "model.onnx"

WEIGHTS = "model.safetensors"
"""The parameters by name, in float32."""

NORMS = "norms.json"
"""The eps of the norms, by the names that the model's configuration has for them."""
