"""Sees private data; sends only clipped or noised vectors.

app           Flower ClientApp: handlers only
site          who this node is and which data it holds
trainer       local SGD; DP-SGD with Opacus behind the same face
dp_optimizer  Opacus' optimizer with our noise, our divisor and no way past the clip
update        what may leave: difference -> clip -> check
"""
