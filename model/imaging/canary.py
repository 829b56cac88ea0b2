"""The canary photo: its crops tell whether the installed libraries make the same pixels as in training."""

import base64
import hashlib

import numpy as np
from PIL.Image import Resampling

from model.imaging.alignment import SimilarityTransform
from model.imaging.decoding import decode
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.warping import warp

# A colour JPEG of 64x64 pixels with halved chroma.
PHOTO = base64.b85decode(
    b"|JeWF01!$>Nk#wx0RR9200961|JwjV01XKW3knDg3knMk4h;_zAQcl55)&sJ9v2`kDKRiEDJ?8BI!Zn>HbyrrEkIX6ModmpQ&KWMT47pHU`kO^Py"
    b"gEhLjevB4iga*CKVMXPc<zyPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPf!2A01*fPKmb4k0U`hb5di}c0sq7"
    b"R8vp<T0s{d60000000000000FB0|Wp80tf%Z04xvy0s;a61O)>G0{{R3000010ssR95d{(<Q4=CDL16|XG87eYp@G5C|HJ?q0RRF60RaF2000000"
    b"000000adA0s{aB|HJ?!5dZ=L0s;a80|5a500000009C31OpKT5+N}YK@=iULc#yq01N{G00I#M5dc2`YF;Tz9S0Mu^3kg#8Ri)LLnK-@#xPf&?T@"
    b"0}bu)ZrTy^s&HyTw;D`rX?wYkn?b7LJv;dO@nl64CB;N$3@Xv+Tp7PdM$I@CbDsW}?=0M<Ek!9C-W<|pmkyY`AV54>4tO_6fft({8pnL4Ut5Y@KI"
    b"KVj}|tRJuD`HfgPwF*=-2#ELj_r9`Z%DfLLFg%qspt01xE<ffyiPVr`a&_gC(oXq(q3q06O3Bm!j68Nx>>!l62L5h1waJzq1eoi62Bs2qt(mEihs"
    b"y4D#v*1cdmnR2NoU`vli!c_4u@IRE2@?ZdumN?ZW<Dn<kE~iRh$Ap#45Y~LlFM}<{M)l<>FTZL`7>c>=_+F*5OQbK!7)_xp1Pz=B%r1Y!UA%9D7T"
    b"7LDU}ZR<-)CjY9aqErO1E>NRm26{%pcGQ_<zxzKtTadNyvqGg50smCz_W5&AHQ{8tA&s7l#g9gY4L`~@EkO|Zx)u<XBH7YZ6ABZE|O`f7F<EbUU$"
    b"F{V5jepp`#j`J>&kadNVZOu&78&}Eml+jbuOVJd_8^n~{{W){Pfy1cYU=7e`;%i2!;s@1gtx=98y58p-)Wo7JABVV#IBK8=ho+&;^WzulU_X|Z)0"
    b"eDe4l~q9Wrtnryv>DIwn9s@?}zs+XO3XQms_lt+EUyTe7B!gzd&ay#yDP<=7EjLM{R|ADYF~`I+MLa}RO|kV@jh9$T)naPt0LyT$jY{60hvk10{v"
    b"8`1la+frRqS89ev8X&<3>BM_=UQ;TcK*_Q{u^Cf_<+h2eD)%fVuAouS9iH;sNzTqjCeZtgEMmoFbh;<#{{SakCxzhfj5jqCW%d9b*7g1eVZOijLJ"
    b"G}1){-Rl<TvBFS-i()Yu_bYtoaXOV#dJKeVxz$*#"
)
# A turn by 7 degrees. The first scale enlarges the photo, the second reduces it.
TURN = np.array([[0.9925, -0.1219], [0.1219, 0.9925]])
SCALES = (1.7, 0.3)


def canary_sha256(config: PreprocessingConfig) -> str:
    """The SHA-256 of the canary photo's crops: resized as a whole, and warped at each scale.

    Landmarks are not looked for: a detector's last digits differ between processors, which is no fault.
    """
    picture, side = decode(PHOTO, config).picture, config.side_px
    digest = hashlib.sha256(np.asarray(picture.resize((side, side), Resampling.BILINEAR)).tobytes())
    for scale in SCALES:
        digest.update(warp(picture, SimilarityTransform(scale * TURN, np.array([3.3, 1.7])), side).tobytes())
    return digest.hexdigest()
