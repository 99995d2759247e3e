"""Whatever reads what others wrote, given anything at all, guided by what it makes the code do (atheris).

``./dev fuzz TARGET`` runs one of :data:`tests.fuzz.targets.TARGETS`; each says what must hold.
"""
