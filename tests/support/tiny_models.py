"""Keras models that need no training: they tell classes by colour."""

import keras
import numpy as np
from keras import layers
from support.colours import COLOURS


def colour_logits(pixels):
    """The nearest of the three colours has the largest logit."""
    colours = COLOURS.astype(np.float32)
    # -|x - c|²/2 = x·c - |c|²/2 - |x|²/2, of which the last term is the same for all classes.
    weights = [colours.T[None, None] / 1000, -np.square(colours).sum(axis=1) / 2000]
    layer = layers.Conv2D(3, 1, name="by_colour")
    logits = layer(pixels)
    layer.set_weights(weights)
    return logits


def plain_model(activation="softmax", side=None):
    pixels = keras.Input((side, side, 3))
    return keras.Model(pixels, layers.Activation(activation)(colour_logits(pixels)))


def head_model():
    """Classes by colour, and heads that say of every place how red and blue it is around it."""
    pixels = keras.Input((None, None, 3))
    classes = layers.Softmax()(colour_logits(pixels))
    # Blurring a disc gives one maximum in its middle.
    heat = layers.AveragePooling2D(4)(classes)
    for _ in range(4):
        heat = layers.AveragePooling2D(5, strides=1, padding="same")(heat)
    order = layers.Conv2D(3, 1, use_bias=False)
    centres = order(heat)
    order.set_weights([np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)[None, None]])
    size = layers.Conv2D(2, 1, kernel_initializer="zeros")(heat)
    return keras.Model(pixels, {"classes": classes, "centres": centres, "log_size": size})


def upsampling_model():
    """Classes by colour through a coarser grid, as a U-Net has it."""
    pixels = keras.Input((None, None, 3))
    coarse = layers.AveragePooling2D(2)(pixels)
    finer = layers.UpSampling2D(interpolation="bilinear")(coarse)
    return keras.Model(pixels, layers.Softmax()(colour_logits(finer)))
