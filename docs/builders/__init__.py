"""What the documentation makes from the code and from records before Sphinx reads its pages.

One file a kind of page. Nothing here computes: texts come from the package, figures from the JSON
in the repository, outputs from commands and scripts that are run.
"""
