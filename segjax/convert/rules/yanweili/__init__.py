"""Modules of https://github.com/ycszen/ContextPrior, in mmsegmentation."""
