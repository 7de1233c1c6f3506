"""What a run comes to: the privacy report, the summary, the model file.

verdict   assumptions and problems -> one level
build     report.json, by the schema beside it
results   summary.json and model.safetensors
terminal  the summary as plain lines
"""
