# SPDX-License-Identifier: BSD-3-Clause
"""The tree that a lint looks at, and how it says what is wrong.

ZC_ROOT names the tree. It is the repository, or what t_lints_work made up to see a lint fail.
"""

import os
import sys

ROOT = os.environ.get('ZC_ROOT') or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
TOP = ('app', 'lib', 'drivers', 'config', 'test', 'examples', 'doc', '.ci')

SKIP = 77

_complaints = []


def files(*endings):
    """Paths, relative to ROOT, of our own files; with endings, only of those kinds.

    Inputs that a fuzzer made are nobody's writing.
    """
    found = [f for f in os.listdir(ROOT) if os.path.isfile(os.path.join(ROOT, f))]
    for top in TOP:
        for folder, dirs, names in os.walk(os.path.join(ROOT, top)):
            dirs[:] = [d for d in dirs if d not in ('__pycache__', 'corpus')]
            found += [os.path.relpath(os.path.join(folder, n), ROOT) for n in names]
    return sorted(f for f in found if not endings or f.endswith(endings))


def sources(*tops):
    """C sources and headers, below the given top folders or all of them."""
    return [f for f in files('.c', '.h') if not tops or f.split('/')[0] in tops]


def read(path):
    """The text of a file; '' when it is not text."""
    with open(os.path.join(ROOT, path), 'rb') as f:
        data = f.read()
    try:
        return '' if b'\0' in data else data.decode()
    except UnicodeDecodeError:
        return ''


def is_shell(path):
    """A shell script, by its name or its first line."""
    first = read(path).split('\n', 1)[0]
    return path.endswith('.sh') or first.startswith(('#!/bin/sh', '#!/usr/bin/env sh',
                                                      '#!/bin/bash'))


def listed(name):
    """Rows of test/lint/NAME: {first word: rest}. What it excuses stands there with its reason."""
    rows = {}
    for number, line in enumerate(read('test/lint/' + name).split('\n'), 1):
        if line and not line.startswith('#'):
            key, _, reason = line.partition(' ')
            if not reason.strip():
                complain(f'test/lint/{name}', number, 'an exception needs a reason')
            rows[key] = reason.strip()
    return rows


def complain(path, line, what):
    _complaints.append(f'{path}:{line}: {what}')


def skip(why):
    print(why)
    sys.exit(SKIP)


def done():
    """End the lint: print what it found."""
    for complaint in _complaints:
        print(complaint)
    sys.exit(1 if _complaints else 0)
