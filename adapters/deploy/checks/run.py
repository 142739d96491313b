"""Runs every check, and says SKIPPED as the tests written in Rust do."""

import sys
import unittest

import image
import made
import template


def main() -> int:
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromModule(module) for module in (template, image, made)
    )
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    for test, reason in result.skipped:
        print(f"SKIPPED: {test}: {reason}")
    return 0 if result.wasSuccessful() else 1


sys.exit(main())
