"""Measurements of whole programs and of single parts; never asserted, for machines are shared and noisy."""
