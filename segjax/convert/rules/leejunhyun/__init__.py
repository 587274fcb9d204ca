"""LeeJunHyun/Image_Segmentation on GitHub, U-Nets for images."""
