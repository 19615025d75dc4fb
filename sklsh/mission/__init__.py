"""Linear models over billions of features, in kilobytes, and the features they select."""

from sklsh.mission._hash_selector import MISSIONHashSelector
from sklsh.mission._predictors import MISSIONClassifier, MISSIONRegressor
from sklsh.mission._selector import MISSIONSelector

__all__ = ["MISSIONClassifier", "MISSIONHashSelector", "MISSIONRegressor", "MISSIONSelector"]
