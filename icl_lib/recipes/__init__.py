"""Trainings that the book ships the result of: everything that decides them, in one place each.

A chapter shows the first steps live, ``icl-lib train NAME`` runs all of them.
"""
