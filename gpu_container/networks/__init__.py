"""Upscaling networks in forms that compute the same with less traffic and keep pictures in a plane apart."""
