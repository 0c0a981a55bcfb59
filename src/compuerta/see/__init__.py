"""Seeing inside: explanations in words, and charts in text."""
