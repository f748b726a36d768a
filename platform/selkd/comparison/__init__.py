"""The statistical verdict over studies: which level of a factor is better, and is that more than luck?"""
