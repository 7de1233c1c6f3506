"""Differential privacy: mathematics only, no flwr, no torch.

randomness  keyed cryptographic streams, from the operating system or (simulation) from a seed
clipping    the L2 bound on what one unit contributes
noise       Gaussian noise from a stream
integer_noise  discrete Gaussian and Skellam; inversion: how they are drawn
concentrated   what a sum of integer noises hides
sampling    Poisson and truncated Poisson sampling
plan        the run's promise: mechanism, sampler and accounting event from one object
events      what was released, as data
steps       a history of events as distinct, valid steps
accounting  epsilon of events: PLD with an RDP cross-check
calibration the noise for an epsilon; fitting: for all that a plan releases
outlook     what a plan would cost, and what it would cost otherwise
claim       one guarantee as data
claims      what holds against whom, planned and spent
"""
