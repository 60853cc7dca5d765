"""Boosters of XGBoost, LightGBM and CatBoost: stored in their own formats, and checked."""
