"""Running a network's jaxpr under rules of our own: one interpreter, and what is marked for it."""
