"""The library of the book on in-context learning as gradient descent.

Rooms, in the order in which the book opens them: ``models``, ``optim``, ``dual``, ``tasks``,
``learners``, ``finetune``, ``scaling``; ``recipes`` holds the trainings whose results ship;
``plots``, ``live`` and ``exercises`` are what the chapters show and ask.
Nothing is imported here: each chapter imports the room it needs.
"""

__version__ = "0.4.0"
