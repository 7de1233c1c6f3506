"""Secure aggregation: what the parties compute; knows neither Flower nor torch.

ring          whole numbers modulo 2^b, and how they are packed
transcript    one encoding for whatever is signed, hashed or derived from
prg           masks from seeds, added in place
shamir        secrets in shares
keys          each client's signed key for a run; secrets of pairs
graph         who masks with whom, and who may unmask
parameters    degree, committee and thresholds from the stated adversary
quantization  clipped vectors to whole numbers and back
plan          what a run promises of it
encoding      bits, scale and share of the noise, from the plan
shared_noise  a share of the noise of a sum
exchange      what the parties tell each other
packing       the same as bytes
"""
